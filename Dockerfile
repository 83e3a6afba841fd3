# ossecd in an image of its own: one static binary, no shell, not root.
#
#   docker build -t ossecd .
#   docker run -p 1514:1514/udp -p 1514:1514 -v ossecd-keys:/etc/ossecd -v ossecd-state:/var/lib/ossecd ossecd
#   docker run --rm -v ossecd-keys:/etc/ossecd ossecd keygen add web01
#
# A directory of the host in place of a volume has to belong to user 65532.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# buildx sets these two for images of other machines; without them Go builds for this one.
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w" -o /ossecd .
# New volumes take owner and mode from the directories in the image; --demo needs /tmp.
RUN mkdir -p /tree/etc/ossecd /tree/var/lib/ossecd /tree/tmp \
    && chmod 0700 /tree/etc/ossecd /tree/var/lib/ossecd \
    && chmod 1777 /tree/tmp

FROM scratch
COPY --from=build --chown=65532:65532 /tree/ /
COPY --from=build /ossecd /ossecd
USER 65532:65532
VOLUME ["/etc/ossecd", "/var/lib/ossecd"]
# 1515 is for enrolment, with --enroll-listen :1515.
EXPOSE 1514/udp 1514/tcp 1515/tcp
ENTRYPOINT ["/ossecd"]
CMD ["manager"]
