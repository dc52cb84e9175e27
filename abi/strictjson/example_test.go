package strictjson_test

import (
	"fmt"

	"github.com/berth-host/berth/abi/strictjson"
)

func ExampleDecoder() {
	var order struct {
		ID    string `json:"id"`
		Items []struct {
			SKU string `json:"sku"`
		} `json:"items"`
	}
	err := strictjson.Decoder{}.Decode([]byte(`{"id":"o-1","items":[{"sku":"TEA","SKU":"MUG"}]}`), &order)
	fmt.Println(err)
	// Output: items[0].SKU: unknown key: the known ones are sku
}

func ExampleGet() {
	fmt.Println(strictjson.Get(`{"data":{"status":"shipped"}}`, "/data/status"))
	// Output: shipped true
}
