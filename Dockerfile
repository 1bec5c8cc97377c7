# Torch's image: one static program, not root, nothing else.
#   docker build -t torch .        or        buildah bud -t torch .
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The target is named, so that the flag is not for build scripts and macros,
# which have to stay dynamic.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" -p torch \
 && cp "target/$target/release/torch" /torch

FROM scratch
COPY --from=build /torch /torch
USER 65532:65532
ENTRYPOINT ["/torch"]
