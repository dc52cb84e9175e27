package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/berth-host/berth/host/console"
)

func ExampleNew() {
	handler, err := console.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/events", "/console/app.js", "/no-such-page"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, w.Code, w.Header().Get("Content-Type"))
	}
	// Output:
	// /events 200 text/html; charset=utf-8
	// /console/app.js 200 text/javascript; charset=utf-8
	// /no-such-page 404 text/plain; charset=utf-8
}
