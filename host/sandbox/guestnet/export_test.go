package guestnet

import "net/url"

// Reaches is check for tests.
func (c *Client) Reaches(u *url.URL) bool { return c.check(u) == nil }
