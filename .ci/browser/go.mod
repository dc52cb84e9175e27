module github.com/berth-host/berth/.ci/browser

go 1.26

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect

require (
	github.com/berth-host/berth/abi/go v0.0.0
	github.com/chromedp/cdproto v0.160.1
	github.com/chromedp/chromedp v0.23.1
)

replace github.com/berth-host/berth/abi/go => ../../abi/go
