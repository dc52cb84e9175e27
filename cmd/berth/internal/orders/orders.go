// Package orders has the commands that create orders and move them through their statuses.
package orders

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/orders"

type app struct{ *command.Env }

// Command returns the command orders.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("orders", "Create orders and move them through their statuses", a.create(), a.list(), a.show(), a.move())
}

func (a app) create() *cobra.Command {
	var order wire.NewOrder
	var items []string
	cmd := a.Remote("create --customer ID --item SKU:QUANTITY:CENTS ...", "Create an order", func(ctx context.Context, _ []string) error {
		for _, text := range items {
			item, err := parseItem(text)
			if err != nil {
				return command.Usage("%w", err)
			}
			order.Items = append(order.Items, item)
		}
		return command.Fetch(ctx, a.Env, "POST", path, order, a.print, func(o wire.Order) error {
			return cmp.Or(client.About("order", o.ID, cmp.Or(order.ID, o.ID)), client.About("customer", o.CustomerID, order.CustomerID))
		})
	})
	cmd.Example = "  berth orders create --customer ada --item TEAPOT:1:2490 --item CUP:4:890"
	cmd.Flags().StringVar(&order.ID, "id", "", "the order's id (default: the host gives one)")
	cmd.Flags().StringVar(&order.CustomerID, "customer", "", "who orders")
	cmd.Flags().StringVar(&order.Currency, "currency", "EUR", "ISO 4217 code")
	cmd.Flags().StringArrayVar(&items, "item", nil, "SKU:QUANTITY:CENTS, once for each item")
	_ = cmd.MarkFlagRequired("customer")
	_ = cmd.MarkFlagRequired("item")
	return cmd
}

// parseItem parses SKU:QUANTITY:CENTS. A SKU may contain colons.
func parseItem(text string) (wire.OrderItem, error) {
	parts := strings.Split(text, ":")
	if n := len(parts); n >= 3 {
		quantity, err1 := strconv.ParseInt(parts[n-2], 10, 64)
		cents, err2 := strconv.ParseInt(parts[n-1], 10, 64)
		if err1 == nil && err2 == nil {
			return wire.OrderItem{SKU: strings.Join(parts[:n-2], ":"), Quantity: quantity, UnitPriceCents: cents}, nil
		}
	}
	return wire.OrderItem{}, fmt.Errorf("--item %q is not SKU:QUANTITY:CENTS, such as CUP:4:890", text)
}

func (a app) list() *cobra.Command {
	var status, customer string
	var page command.Paging
	cmd := a.Remote("list", "List orders, newest first", func(ctx context.Context, _ []string) error {
		at := page.Path(path, "status", status, "customer_id", customer)
		return command.Fetch(ctx, a.Env, "GET", at, nil, func(list wire.List[wire.Order]) error {
			return console.Page(a.Console, "ID\tCUSTOMER\tSTATUS\tTOTAL\tVERSION\tUPDATED", list, func(o wire.Order) console.Cells {
				return console.Cells{o.ID, o.CustomerID, o.Status, money(o), o.Version, console.Clock(o.UpdatedAt)}
			})
		})
	})
	cmd.Flags().StringVar(&status, "status", "", "only this status")
	cmd.Flags().StringVar(&customer, "customer", "", "only this customer")
	page.Flags(cmd, 50)
	return cmd
}

func (a app) show() *cobra.Command {
	return a.Remote("show ID", "Show one order", func(ctx context.Context, args []string) error {
		return command.Fetch(ctx, a.Env, "GET", path+"/"+url.PathEscape(args[0]), nil, a.print, func(o wire.Order) error {
			return client.About("order", o.ID, args[0])
		})
	})
}

func (a app) move() *cobra.Command {
	var seen int64
	var cmd *cobra.Command
	cmd = a.Remote("move ID STATUS", "Move an order to another status", func(ctx context.Context, args []string) error {
		c, err := a.Connect()
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("if-version") {
			c.IfMatch = fmt.Sprintf("%q", strconv.FormatInt(seen, 10))
		}
		body := map[string]string{"status": args[1]}
		return command.FetchBy(ctx, a.Env, c, "POST", path+"/"+url.PathEscape(args[0])+"/status", body, a.print, func(o wire.Order) error {
			return cmp.Or(client.About("order", o.ID, args[0]), client.About("status", o.Status, args[1]))
		})
	})
	cmd.Long = `Move an order to another status: pending → confirmed → processing → shipped →
delivered; cancelled from the first three; refunded from delivered or cancelled.
With --if-version it is moved only while it has the version that was seen.`
	cmd.Flags().Int64Var(&seen, "if-version", 0, "the version it must have")
	return cmd
}

func (a app) print(o wire.Order) error {
	a.Print("order     %s\ncustomer  %s\nstatus    %s (version %d)\ntotal     %s\n", o.ID, o.CustomerID, o.Status, o.Version, money(o))
	for _, item := range o.Items {
		a.Print("item      %d × %s at %.2f\n", item.Quantity, item.SKU, float64(item.UnitPriceCents)/100)
	}
	return a.Print("event     order:%s:v%d\n", o.ID, o.Version)
}

func money(o wire.Order) string {
	return fmt.Sprintf("%.2f %s", float64(o.TotalCents)/100, o.Currency)
}
