//go:build !race

package integration

// raceEnabled has the gateway built with the race detector where the tests are.
const raceEnabled = false
