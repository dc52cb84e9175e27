package guestnet

import "net/url"

// Allows is check for tests.
func (c *Client) Allows(u *url.URL) bool { return c.check(u) == nil }
