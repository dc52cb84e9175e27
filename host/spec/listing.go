package spec

// ListingQuery selects a page of the plugins in a marketplace.
type ListingQuery struct {
	Text      string // words in name, publisher and description, in any case; "" for all
	Publisher string // "" for all
	Cursor    string // the next cursor of the page before, "" for the first page
	Limit     int    // 0 for 50, at most 200
	Refresh   bool   // fetch the list first, whatever its age
}
