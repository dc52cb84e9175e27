package api

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
)

// TestNoSecondAnswerAfterACommittedOne: what fails after the answer has begun adds
// nothing to it.
func TestNoSecondAnswerAfterACommittedOne(t *testing.T) {
	for _, begun := range []bool{true, false} {
		s := &Server{cfg: Config{Logger: slog.New(slog.DiscardHandler)}}
		rec := httptest.NewRecorder()
		c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/api/v1/events", nil), rec)
		if begun {
			if err := c.String(http.StatusOK, "the answer"); err != nil {
				t.Fatal(err)
			}
		}
		s.fail(errors.New("the rest cannot be read"), c)
		if got := rec.Body.String(); begun && (got != "the answer" || rec.Code != http.StatusOK) || !begun && (got == "" || rec.Code != http.StatusInternalServerError) {
			t.Errorf("begun %v: %d %q", begun, rec.Code, got)
		}
	}
}
