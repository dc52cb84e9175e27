package format_test

import (
	"errors"
	"fmt"

	"github.com/berth-host/berth/host/marketplace/format"
)

func ExampleVerify() {
	signer, err := format.NewSigner()
	if err != nil {
		panic(err)
	}
	root := []byte(`{"format": "berth-index-v1"}`)
	signature := signer.Sign(root, "sequence 1")
	trusted := []format.Key{signer.Key()}

	key, err := format.Verify("root.json", root, signature, trusted)
	fmt.Println(key.ID() == signer.Key().ID(), err)

	_, err = format.Verify("root.json", append(root, '\n'), signature, trusted)
	fmt.Println(errors.Is(err, format.BadSignature))
	// Output:
	// true <nil>
	// true
}
