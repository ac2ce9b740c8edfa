package client

//go:generate go tool -modfile=../tools.mod oapi-codegen -config oapi-codegen.yaml ../server/api/openapi.yaml
