// Package guestnet sends the HTTP requests of guests: to granted hosts, on public internet
// addresses, within limits of size, time and redirects.
//
// A request passes two checks. The name in the URL, and in that of every redirect, must be
// one of the plugin's hosts. The address that it resolves to must be public; only a grant
// of an address itself, or of localhost, allows that address, or the loopback. There is no
// proxy, no cookie jar and no compression, and the environment of the host is not used.
//
// All types are safe for concurrent use. Read client.go first.
package guestnet
