package marketplace

import "context"

// Get gets one file of at most 1,000 bytes, in a session of its own.
func (f *Fetcher) Get(ctx context.Context, rawURL string) ([]byte, error) {
	s := f.Session()
	defer s.Close()
	return s.Get(ctx, rawURL, 1000)
}
