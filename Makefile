# make test is all a newcomer needs; the rest are shortcuts.
.PHONY: test soak ledger-soak plays build dev story bench lint fmt tidy generate

test: ## find the engines, go vet, go test -race ./...
	go run ./cmd/internal/testrun

soak: ## a minute of random faults under load, judged: SOAK="-soak.for 10m -soak.seed 17" for longer, or for the same again
	go test ./cmd/internal/soak -count 1 -v -timeout 30m -run TestSoak -args $(or $(SOAK),-soak.for 1m)

ledger-soak: ## long plays against the ledger: some minutes of simulation and of histories; SIM="-sim.steps 5000 -sim.seed 17", LINEAR="-linear.steps 100 -linear.seed 17"
	go run ./cmd/internal/testrun ./storage/sqlstore -run TestSimulation -v -timeout 30m -args $(or $(SIM),-sim.steps 3000)
	go run ./cmd/internal/testrun ./cmd/internal/e2e -run TestBalancesAndMovements -v -timeout 30m -args $(or $(LINEAR),-linear.steps 100)

plays: ## the random plays of the stores against their models, PLAYS of each: make test plays 25
	go run ./cmd/internal/testrun ./storage/sqlite ./storage/mysql ./storage/sqlstore -run 'TestRunModes|TestLedger' -timeout 60m -args -rapid.checks $(or $(PLAYS),1000)

build: ## a stripped binary in bin/
	go build -trimpath -ldflags='-s -w' -o bin/tallystick ./cmd/tallystick

dev: ## everything in one process, on embedded engines
	go run ./cmd/tallystick dev

story: ## play the story against a running instance: STORY="--target FILE", or STORY=--own for one of its own
	go run ./cmd/internal/story/play $(STORY)

bench: ## the benchmarks, each against its floor in the same run
	go test -run '^$$' -bench . -benchtime 2s ./keys/... ./storage/... ./authserver/... ./resource/... ./cmd/...

lint:
	go tool -modfile=.ci/tools/go.mod golangci-lint run ./...

fmt:
	gofmt -w $$(git ls-files '*.go')

tidy:
	go mod tidy

generate:
	go generate ./...
