# Each does its whole job on a bare Debian machine with Rust and Go, as root: what is missing it installs.
.PHONY: demo test rolling scale lint

# Two nodes that start too early get to know each other, on a real cluster.
demo:
	@tests/demo/run

# All tests, from units to end to end.
test:
	@tests/run

# Torch is rolled over under a constant stream of pod creations.
rolling:
	@tests/rolling/run

# 100, 1,000 and 10,000 nodes.
scale:
	@tests/scale/run

lint:
	@tests/lint
