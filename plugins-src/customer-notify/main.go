// Customer-notify writes the message that a customer gets when an order moves.
package main

import (
	"fmt"
	"strconv"
	"strings"

	berth "github.com/berth-host/berth/abi/go"
)

// config is the handler's configuration.
type config struct {
	Language string `json:"language"`  // en, de, fr or es; empty is en
	ShopName string `json:"shop_name"` // empty is "our shop"
}

func main() {
	notify, err := newNotifier()
	if err != nil {
		panic(err)
	}
	berth.Run(notify.handle)
}

// notifier writes messages in one language, for one shop.
type notifier struct {
	shop      string
	templates templates
}

func newNotifier() (*notifier, error) {
	var c config
	if err := berth.Config(&c); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if c.Language == "" {
		c.Language = "en"
	}
	if c.ShopName == "" {
		c.ShopName = "our shop"
	}
	t, ok := languages()[c.Language]
	if !ok {
		return nil, fmt.Errorf("the configuration's language %q is not one of en, de, fr, es", c.Language)
	}
	return &notifier{shop: c.ShopName, templates: t}, nil
}

// message is the handler's result.
type message struct {
	Channel string `json:"channel"`
	To      string `json:"to"`
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// skipped is the result for a status that needs no message.
type skipped struct {
	Skipped bool   `json:"skipped"`
	Reason  string `json:"reason"`
}

func (n *notifier) handle(ev *berth.Event) (berth.Result, error) {
	var order struct {
		ID         string `json:"order_id"`
		CustomerID string `json:"customer_id"`
		Currency   string `json:"currency"`
		TotalCents int64  `json:"total_cents"`
		Status     string `json:"status"`
	}
	if err := ev.Decode(&order); err != nil {
		return berth.Result{}, berth.Rejectf("the event's data is not an order: %v", err)
	}
	if order.ID == "" || order.CustomerID == "" || order.Status == "" {
		return berth.Result{}, berth.Reject("the order lacks its order_id, customer_id or status")
	}
	t, ok := n.templates.messages[order.Status]
	if !ok {
		return berth.JSON(skipped{true, "status " + order.Status + " needs no message"}), nil
	}
	fill := strings.NewReplacer(
		"{order}", order.ID,
		"{shop}", n.shop,
		"{total}", n.templates.money(order.TotalCents, order.Currency),
	)
	return berth.JSON(message{
		Channel: "email",
		To:      order.CustomerID,
		Subject: fill.Replace(t.subject),
		Body:    fill.Replace(n.templates.greeting + "\n\n" + t.body + "\n\n" + n.templates.closing),
	}), nil
}

// money writes an amount: 1234 cents of EUR are "12.34 EUR" or "12,34 EUR".
func (t templates) money(cents int64, currency string) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return sign + strconv.FormatInt(cents/100, 10) + t.point + fmt.Sprintf("%02d", cents%100) + " " + currency
}
