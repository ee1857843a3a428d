"""What people look at: plots and one offline HTML report."""
