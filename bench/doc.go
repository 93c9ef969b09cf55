// Command bench measures what the gate adds to the cost of a proxied request.
//
// It starts several Caddy processes that differ only in what stands in front of the same upstream,
// sends them the requests of a signed-in browser in short rounds that take turns, and prints the
// processor time of a request as ratios between them. docs/performance.md says how to read those.
//
//	go run ./bench             all rounds, a few minutes
//	go run ./bench -quick      fewer and shorter rounds, less than two minutes
//	go run ./bench -markdown   tables in Markdown
//	go run ./bench -profile d  CPU and allocation profiles of the gate in the directory d, no tables
//
// Every server is this same program, started again as "bench serve <Caddyfile>". A server ends when
// its standard input does, so none outlives the command.
package main
