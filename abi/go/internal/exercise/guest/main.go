// Guest is package exercise as a plugin.
package main

import (
	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/internal/exercise"
)

func main() { berth.Run(exercise.Handle) }
