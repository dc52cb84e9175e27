package main

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/wire"
)

func (a *app) ordersCommand() *cobra.Command {
	return group("orders", "Create orders and move them through their statuses",
		a.ordersCreate(), a.ordersList(), a.ordersShow(), a.ordersMove())
}

func (a *app) ordersCreate() *cobra.Command {
	var order wire.NewOrder
	var items []string
	cmd := &cobra.Command{
		Use:     "create --customer ID --item SKU:QUANTITY:CENTS ...",
		Short:   "Create an order",
		Example: "  berth orders create --customer ada --item TEAPOT:1:2490 --item CUP:4:890",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, text := range items {
				item, err := parseItem(text)
				if err != nil {
					return usageError{err}
				}
				order.Items = append(order.Items, item)
			}
			return fetch(cmd.Context(), a, "POST", "/api/v1/orders", order, a.showOrder, func(o wire.Order) error {
				return cmp.Or(about("order", o.ID, cmp.Or(order.ID, o.ID)), about("customer", o.CustomerID, order.CustomerID))
			})
		},
	}
	cmd.Flags().StringVar(&order.ID, "id", "", "the order's id (default: the host gives one)")
	cmd.Flags().StringVar(&order.CustomerID, "customer", "", "who orders")
	cmd.Flags().StringVar(&order.Currency, "currency", "EUR", "ISO 4217 code")
	cmd.Flags().StringArrayVar(&items, "item", nil, "SKU:QUANTITY:CENTS, once for each item")
	_ = cmd.MarkFlagRequired("customer")
	_ = cmd.MarkFlagRequired("item")
	return a.talks(cmd)
}

// parseItem reads SKU:QUANTITY:CENTS. A SKU may contain colons.
func parseItem(text string) (wire.OrderItem, error) {
	parts := strings.Split(text, ":")
	if len(parts) >= 3 {
		n := len(parts)
		quantity, err1 := strconv.ParseInt(parts[n-2], 10, 64)
		cents, err2 := strconv.ParseInt(parts[n-1], 10, 64)
		if err1 == nil && err2 == nil {
			return wire.OrderItem{SKU: strings.Join(parts[:n-2], ":"), Quantity: quantity, UnitPriceCents: cents}, nil
		}
	}
	return wire.OrderItem{}, fmt.Errorf("--item %q is not SKU:QUANTITY:CENTS, such as CUP:4:890", text)
}

func (a *app) ordersList() *cobra.Command {
	query := url.Values{}
	var status, customer, cursor string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List orders, newest first",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			set(query, "status", status)
			set(query, "customer_id", customer)
			set(query, "cursor", cursor)
			query.Set("limit", strconv.Itoa(limit))
			return fetch(cmd.Context(), a, "GET", "/api/v1/orders?"+query.Encode(), nil, func(list wire.List[wire.Order]) error {
				return a.page("ID\tCUSTOMER\tSTATUS\tTOTAL\tVERSION\tUPDATED", list.Next, len(list.Items), func(i int) cells {
					o := list.Items[i]
					return cells{o.ID, o.CustomerID, o.Status, money(o), o.Version, clock(o.UpdatedAt)}
				})
			})
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only this status")
	cmd.Flags().StringVar(&customer, "customer", "", "only this customer")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many")
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on where the page before ended")
	return a.talks(cmd)
}

func (a *app) ordersShow() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "show ID",
		Short: "Show one order",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return fetch(cmd.Context(), a, "GET", "/api/v1/orders/"+url.PathEscape(args[0]), nil, a.showOrder, func(o wire.Order) error {
				return about("order", o.ID, args[0])
			})
		},
	})
}

func (a *app) ordersMove() *cobra.Command {
	var seen int64
	cmd := a.talks(&cobra.Command{
		Use:   "move ID STATUS",
		Short: "Move an order to another status",
		Long: `Move an order to another status: pending → confirmed → processing → shipped →
delivered; cancelled from the first three; refunded from delivered or cancelled.
With --if-version it is moved only while it has the version that was seen.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]string{"status": args[1]}
			if cmd.Flags().Changed("if-version") {
				a.ifMatch = fmt.Sprintf("%q", strconv.FormatInt(seen, 10))
			}
			return fetch(cmd.Context(), a, "POST", "/api/v1/orders/"+url.PathEscape(args[0])+"/status", body, a.showOrder, func(o wire.Order) error {
				return cmp.Or(about("order", o.ID, args[0]), about("status", o.Status, args[1]))
			})
		},
	})
	cmd.Flags().Int64Var(&seen, "if-version", 0, "the version it must have")
	return cmd
}

func (a *app) showOrder(o wire.Order) error {
	a.print("order     %s\ncustomer  %s\nstatus    %s (version %d)\ntotal     %s\n", o.ID, o.CustomerID, o.Status, o.Version, money(o))
	for _, item := range o.Items {
		a.print("item      %d × %s at %.2f\n", item.Quantity, item.SKU, float64(item.UnitPriceCents)/100)
	}
	err := a.print("event     order:%s:v%d\n", o.ID, o.Version)
	return err
}

func money(o wire.Order) string {
	return fmt.Sprintf("%.2f %s", float64(o.TotalCents)/100, o.Currency)
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func set(query url.Values, key, value string) {
	if value != "" {
		query.Set(key, value)
	}
}
