"""An integer program in other people's formats."""
