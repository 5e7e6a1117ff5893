module github.com/countersign/countersign/sdk

go 1.25.0
