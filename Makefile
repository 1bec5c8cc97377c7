# Each does its whole job on a bare Debian machine with Rust and Go, as root: what is missing it installs.
.PHONY: demo test lint

# Two nodes that start too early get to know each other, on a real cluster.
demo:
	@tests/demo/run

# All tests, from units to end to end.
test:
	@tests/run

lint:
	@tests/lint
