// Package pages reads the pages of an SQLite data file and of its WAL without SQLite, so
// that what a damaged file still has can be read page by page. It follows the documented
// file format (https://www.sqlite.org/fileformat2.html) and changes nothing.
//
// SQLite refuses a whole table when one of its inner pages is damaged, and the whole file
// when its header is. An Image reads each tree from its root as far as its pages are
// sound (Tree), and then the pages that no sound page refers to (Orphans). The
// file's map of pages (of auto_vacuum), if it has one, says which tree a page belongs to
// and which pages are free: a free page has old content.
//
// A page has no checksum. Damage shows as content that contradicts the format, the map of
// pages or the types of a table's columns; altered bytes inside a value do not show.
// Frames of the WAL have checksums. A page whose newest frame is damaged is outdated: its
// older content counts as orphaned.
//
// An Image is not safe for concurrent use. Read image.go first, then tree.go.
package pages
