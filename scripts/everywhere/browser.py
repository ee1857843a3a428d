BROWSERS = {}
def missing_browser(): return "x"
def run_in_browser(*a): raise NotImplementedError
