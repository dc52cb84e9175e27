// Command gocommand is a guest for the tests of host/sandbox/meter: a bit of
// everything a Go program does, with the same output each time.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"regexp"
	"runtime"
	"sort"
	"strings"
	"sync"
)

type node struct {
	left, right *node
	value       int
}

func (n *node) insert(v int) *node {
	if n == nil {
		return &node{value: v}
	}
	if v < n.value {
		n.left = n.left.insert(v)
	} else {
		n.right = n.right.insert(v)
	}
	return n
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.left.sum() + n.value + n.right.sum()
}

func recovered(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return "no panic"
}

func main() {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	var order map[string]any
	if err := json.Unmarshal(in, &order); err != nil {
		panic(err)
	}
	out, _ := json.Marshal(order)
	fmt.Println(len(out), regexp.MustCompile(`"sku":"(SKU-\d)"`).FindAllString(string(out), -1))

	fmt.Printf("%x\n", sha256.Sum256(bytes.Repeat(in, 100)))
	fmt.Println(new(big.Int).MulRange(1, 200))

	var tree *node
	for i, x := 0, 1; i < 5000; i++ {
		x = x * 1103515245 % 2147483647
		tree = tree.insert(x)
	}
	fmt.Println(tree.sum())

	results := make(chan int)
	var workers sync.WaitGroup
	for w := range 10 {
		workers.Go(func() {
			words := map[string]int{}
			for i := range 200 {
				words[strings.Repeat(string(rune('a'+i%26)), w+1)] += i
			}
			total := 0
			for k, v := range words {
				total += len(k) * v
			}
			runtime.GC()
			results <- total
		})
	}
	go func() {
		workers.Wait()
		close(results)
	}()
	var totals []int
	for r := range results {
		totals = append(totals, r)
	}
	sort.Ints(totals)
	fmt.Println(totals)

	var none map[string]int
	var list []int
	zero := len(list)
	fmt.Println(recovered(func() { none["x"] = 1 }), recovered(func() { _ = list[3] }), recovered(func() { fmt.Println(1 / zero) }))
	fmt.Printf("%.6f %v %q\n", 1.0/3, []float32{1.5, 2.25}, "naïve")
	os.Exit(7)
}
