# Torch's image: one static program, not root, nothing else. The program carries the list of what it is made of.
#   docker build -t torch .        or        buildah bud -t torch .
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cp "$(tests/reproducible/build)" /torch

FROM scratch
COPY --from=build /torch /torch
USER 65532:65532
ENTRYPOINT ["/torch"]
