package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
)

// demoHandlers answer the moves of orders; `make plugins` builds them.
var demoHandlers = []string{"customer-notify", "order-audit"}

const (
	ordersBefore = 6 // that are moved before a host is killed, and after
	answerLimit  = 60 * time.Second
)

// demo moves orders on three hosts, kills one, and shows that the others answer for it.
func demo(ctx context.Context, o options, stdout io.Writer) (err error) {
	var files []string
	for _, name := range demoHandlers {
		files = append(files, filepath.Join(o.plugins, name+".wasm.json"), filepath.Join(o.plugins, name+".wasm"))
	}
	fmt.Fprintln(stdout, "Starting PostgreSQL and three hosts; the first start compiles the handlers, which takes up to a minute.")
	f, err := fleet.New(fleet.Config{Berth: o.berth, Hosts: hosts, Plugins: files, Routes: []string{"order_status_changed"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.StartAll(ctx); err != nil {
		return err
	}
	d := &show{Fleet: f, stdout: stdout}
	if err := d.awaitOwners(ctx); err != nil {
		return err
	}
	if err := d.orders(ctx, ordersBefore); err != nil {
		return err
	}
	victim, units, err := d.victim(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nKilling %s, which runs %s.\n", victim.Name, strings.Join(units, " and "))
	if err := victim.Kill(); err != nil {
		return err
	}
	killed := time.Now()
	if err := d.orders(ctx, 1); err != nil {
		return err
	}
	took := time.Since(killed)
	fmt.Fprintf(stdout, "\nTakeover: the other hosts answered for it %.1f s after the kill.\n", took.Seconds())
	if err := d.orders(ctx, ordersBefore-1); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nStarting %s again.\n", victim.Name)
	if err := victim.Start(ctx); err != nil {
		return err
	}
	if err := d.awaitOwners(ctx); err != nil {
		return err
	}
	if err := d.orders(ctx, hosts); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nEvery answer came: %d.\n", d.answers)
	if limit := boundsOn(o.slow).takeover; took >= limit {
		return fmt.Errorf("the takeover lasted %v, over %v", took, limit)
	}
	return nil
}

// show is the demo while it runs.
type show struct {
	*fleet.Fleet
	stdout  io.Writer
	next    int // host
	answers int
}

// clusterView is the cluster as a host shows it.
type clusterView struct {
	Units []struct {
		Name  string `json:"name"`
		Host  string `json:"host"` // the name of the one that runs it
		Epoch int    `json:"epoch"`
	} `json:"units"`
	Members []struct {
		Name   string `json:"name"`
		Offset int    `json:"clock_offset_ms"`
	} `json:"members"`
}

// view asks a host for the cluster.
func view(ctx context.Context, h *fleet.Host) (v clusterView, err error) {
	return v, h.Call(ctx, http.MethodGet, "/api/v1/cluster", nil, &v)
}

// owners returns the name of the host that runs each unit.
func (v clusterView) owners() map[string]string {
	owners := make(map[string]string)
	for _, u := range v.Units {
		owners[u.Name] = u.Host
	}
	return owners
}

// owners returns the name of the host that runs each unit.
func (d *show) owners(ctx context.Context) (map[string]string, error) {
	v, err := view(ctx, d.host())
	return v.owners(), err
}

// awaitOwners returns when each of the demo's handlers runs somewhere.
func (d *show) awaitOwners(ctx context.Context) error {
	return fleet.Until(ctx, answerLimit, func(ctx context.Context) error {
		owners, err := d.owners(ctx)
		for _, name := range demoHandlers {
			if err == nil && owners[name] == "" {
				err = fmt.Errorf("no host runs %s", name)
			}
		}
		return err
	})
}

// victim returns the host that runs a handler of the demo, and what it runs of them.
func (d *show) victim(ctx context.Context) (*fleet.Host, []string, error) {
	owners, err := d.owners(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range d.Hosts {
		var units []string
		for _, name := range demoHandlers {
			if owners[name] == h.Name {
				units = append(units, name)
			}
		}
		if len(units) > 0 {
			return h, units, nil
		}
	}
	return nil, nil, errors.New("no host runs a handler")
}

// host returns one running host after the other.
func (d *show) host() *fleet.Host {
	for {
		h := d.Hosts[d.next%len(d.Hosts)]
		d.next++
		if h.Running() {
			return h
		}
	}
}

// order is an order as the API shows it.
type order struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Version int    `json:"version"`
}

// orders creates orders, moves each of them once, every call on another host, and waits for
// the answers of the handlers.
func (d *show) orders(ctx context.Context, n int) error {
	for i := range n {
		var o order
		h := d.host()
		if err := h.Call(ctx, http.MethodPost, "/api/v1/orders", map[string]any{"customer_id": "ada", "currency": "EUR",
			"items": []any{map[string]any{"sku": "TEAPOT", "quantity": i + 1, "unit_price_cents": 2490}}}, &o); err != nil {
			return fmt.Errorf("create an order on %s: %w", h.Name, err)
		}
		if err := d.await(ctx, h, o); err != nil {
			return err
		}
		h = d.host()
		if err := h.Call(ctx, http.MethodPost, "/api/v1/orders/"+o.ID+"/status", map[string]any{"status": "confirmed"}, &o); err != nil {
			return fmt.Errorf("move order %s on %s: %w", o.ID, h.Name, err)
		}
		if err := d.await(ctx, h, o); err != nil {
			return err
		}
	}
	return nil
}

// await waits for the answers to the latest event of an order, and asks a host for them that
// has not published it.
func (d *show) await(ctx context.Context, published *fleet.Host, o order) error {
	began := time.Now()
	var ev struct {
		Deliveries []struct {
			Plugin string          `json:"plugin"`
			Status string          `json:"status"`
			Result json.RawMessage `json:"result"`
		} `json:"deliveries"`
	}
	asked := d.host()
	err := fleet.Until(ctx, answerLimit, func(ctx context.Context) error {
		if err := asked.Call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/events/order:%s:v%d", o.ID, o.Version), nil, &ev); err != nil {
			return err
		}
		final := 0
		for _, delivery := range ev.Deliveries {
			if delivery.Status == "ok" || delivery.Status == "dead" {
				final++
			}
		}
		if final < len(demoHandlers) {
			return fmt.Errorf("%d of %d handlers have answered to order %s, %s", final, len(demoHandlers), o.ID, o.Status)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "order %s is %s (told %s, asked %s, %.0f ms)\n", o.ID, o.Status, published.Name, asked.Name, float64(time.Since(began).Milliseconds()))
	for _, delivery := range ev.Deliveries {
		if delivery.Status != "ok" || len(delivery.Result) == 0 {
			return fmt.Errorf("%s did not handle order %s: %s", delivery.Plugin, o.ID, delivery.Status)
		}
		d.answers++
	}
	return nil
}
