# Each does its whole job on a bare Debian machine with Rust and Go, as root: what is missing it installs.
.PHONY: demo test celestia kubo model faults soak rolling rotate scale fuzz hostile rights chart page docs reproducible bench instructions lint

# Two nodes that start too early get to know each other, on a real cluster.
demo:
	@tests/demo/run

# All tests, from units to end to end.
test:
	@tests/run

# Real Celestia nodes, a bridge and a light node on a chain of their own, start before Torch does.
celestia:
	@tests/celestia/run

# Two real IPFS nodes do so, by the start lines of docs/networks.md.
kubo:
	@tests/kubo/run

# Every course of events around the plan, within bounds: no restart too many, no deadlock.
model:
	@tests/model/run

# Torch is rolled over under a constant stream of pod creations.
rolling:
	@tests/rolling/run

# Certificates and CAs change under a constant stream of calls, in each of the three ways to have them.
rotate:
	@tests/rotate/run

# 100, 1,000 and 10,000 nodes.
scale:
	@tests/scale/run --out docs/bench

# One fault after another on the real cluster.
faults:
	@tests/faults/run

# Twenty pairs and random faults for half an hour, or for SOAK_SECONDS; SOAK_SEED repeats a run.
soak:
	@tests/faults/run soak

# Any bytes at whatever comes from outside, for SECONDS each.
fuzz:
	@FUZZ_SECONDS=$(SECONDS) tests/fuzz/run

# Slow, endless, huge and many requests, while the API server's calls are timed.
hostile:
	@tests/hostile/run

# What Torch is granted against what it uses.
rights:
	@tests/rights/run

# The Helm chart: the same objects as deploy/, and its whole life on the cluster. Alerts and the dashboard.
chart:
	@tests/chart/run

# What docs/ has of the code is made anew; all that it says of the code is checked.
docs:
	@tests/docs/run write

# The page in a headless Chromium, while nodes come and are restarted; and its picture, docs/page.png.
page:
	@PICTURE=docs/page.png tests/page/run

# Two builds in two folders are the same, byte for byte.
reproducible:
	@tests/reproducible/run

# Torch beside a bare server, an injector in Rust and one in Go, on this machine; some ten minutes.
bench:
	@tests/bench/run

# What one review costs in instructions, compared with what it cost before.
instructions:
	@tests/instructions/run

lint:
	@tests/lint
