package spec

// OrderQuery selects a page of orders, newest first.
type OrderQuery struct {
	Status   string // "" for all
	Customer string // a customer_id, "" for all
	Cursor   string // wire.List.Next of the page before, "" for the first page
	Limit    int    // 0 for the default
}
