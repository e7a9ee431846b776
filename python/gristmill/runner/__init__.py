"""What happens inside a runner, one idea a module; `loop` is what uses them."""
