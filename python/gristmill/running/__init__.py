"""What happens inside a runner, one idea a module; `gristmill.runner` is the loop that uses them."""
