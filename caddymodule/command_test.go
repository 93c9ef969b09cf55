package caddymodule

import "testing"

func TestAdminAddresses(t *testing.T) {
	for _, c := range []struct{ name, address, network, target string }{
		{"host and port", "localhost:2019", "tcp", "localhost:2019"},
		{"port alone", ":2019", "tcp", ":2019"},
		{"IPv6 with its network", "tcp/[::1]:2019", "tcp", "[::1]:2019"},
		{"socket", "unix//run/caddy.sock", "unix", "/run/caddy.sock"},
		{"socket with a mode", "unix//run/caddy.sock|0220", "unix", "/run/caddy.sock"},
		{"range of ports", "localhost:2000-2010", "", ""},
		{"port that is no number", "localhost:port", "", ""},
		{"placeholder without a value", "{env.NOTHING_THAT_IS_SET}", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseAdminAddress(c.address)
			if (err != nil) != (c.network == "") {
				t.Fatalf("%v", err)
			}
			if got.Network != c.network || got.Target != c.target {
				t.Errorf("network %q and target %q, want %q and %q", got.Network, got.Target, c.network, c.target)
			}
		})
	}
}
