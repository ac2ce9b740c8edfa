package api

// strict-gin.tmpl is the generator's own template, less what this API does not
// use, and with the context of the request in place of gin's: gin uses its
// contexts again for other requests.

//go:generate go tool -modfile=../../tools.mod oapi-codegen -config oapi-codegen.yaml openapi.yaml
