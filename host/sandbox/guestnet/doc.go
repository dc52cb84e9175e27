// Package guestnet sends the HTTP requests of guests: to the hosts that are
// granted, on addresses of the public internet, within limits of size, time and
// redirects.
//
// A request passes two checks. The name in the URL, and in that of every
// redirect, must be among the plugin's hosts. The address it resolves to must be
// public; only a grant that names an address itself, or localhost, reaches that
// address, or the loopback. There is no proxy, no cookie jar and no
// compression, and nothing of the host's environment is used.
//
// All types are safe for concurrent use. Read client.go first.
package guestnet
