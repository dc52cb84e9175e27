// Shipment-webhook posts shipped and delivered orders to a webhook, signed if there is a key.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	berth "github.com/berth-host/berth/abi/go"
)

const (
	standardURL = "https://hooks.example.com/shipments"
	keyName     = "shipment-webhook-key"
)

// webhook posts to one URL.
type webhook struct{ url string }

func main() {
	hook, err := newWebhook()
	if err != nil {
		panic(err)
	}
	berth.Run(hook.handle)
}

func newWebhook() (*webhook, error) {
	var c struct {
		URL string `json:"url"` // empty is standardURL
	}
	if err := berth.Config(&c); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if c.URL == "" {
		c.URL = standardURL
	}
	return &webhook{url: c.URL}, nil
}

// handle posts the order. The answer of a retry is that of the last attempt: the webhook
// recognises an order that it has had by the event's idempotency key.
func (w *webhook) handle(ev *berth.Event) (berth.Result, error) {
	order, ok := ev.Field("/data/order_id")
	if !ok {
		return berth.Result{}, berth.Reject("the event is about no order")
	}
	status, _ := ev.Field("/data/status")
	if status != "shipped" && status != "delivered" {
		return skipped("status " + status + " is not reported"), nil
	}
	customer, _ := ev.Field("/data/customer_id")
	var body berth.Object
	body.Str("order", order).Str("customer", customer).Str("status", status).Str("event_id", ev.ID())
	request := berth.Request{Method: "POST", URL: w.url, Body: []byte(body.Text()), Headers: map[string]string{
		"content-type": "application/json", "idempotency-key": ev.IdempotencyKey(),
	}}
	signed, err := sign(&request)
	if err != nil {
		return berth.Result{}, err
	}
	response, err := berth.HTTP(request)
	switch {
	case errors.Is(err, berth.ErrDenied):
		return skipped("http is not granted for " + w.url), nil
	case err != nil:
		return berth.Result{}, err // retried
	case response.Status == 408, response.Status == 429, response.Status >= 500:
		return berth.Result{}, berth.Retry("the webhook answered " + strconv.Itoa(response.Status))
	case response.Status >= 300:
		return berth.Result{}, berth.Reject("the webhook answered " + strconv.Itoa(response.Status))
	}
	var answer berth.Object
	answer.Bool("sent", true).Str("order", order).Int("status", int64(response.Status)).Bool("signed", signed)
	return answer.Result(), nil
}

// sign adds the header x-signature, the HMAC-SHA-256 of the body in hexadecimal, if the
// operator has granted a key.
func sign(r *berth.Request) (signed bool, err error) {
	key, err := berth.Secret(keyName)
	if errors.Is(err, berth.ErrDenied) || errors.Is(err, berth.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(r.Body)
	r.Headers["x-signature"] = "sha256=" + hex.EncodeToString(mac.Sum(nil))
	return true, nil
}

func skipped(reason string) berth.Result {
	var answer berth.Object
	return answer.Bool("sent", false).Str("reason", reason).Result()
}
