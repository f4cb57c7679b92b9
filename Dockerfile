# syntax=docker/dockerfile:1
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /tallystick ./cmd/tallystick

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /tallystick /tallystick
EXPOSE 8080
ENTRYPOINT ["/tallystick"]
CMD ["serve", "--config", "/etc/tallystick/tallystick.yaml"]
