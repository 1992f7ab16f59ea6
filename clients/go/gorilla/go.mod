module github.com/f0rmiga/sessiongate/clients/go/gorilla

go 1.21

require (
	github.com/f0rmiga/sessiongate/clients/go v0.0.0
	github.com/gorilla/sessions v1.3.0
	github.com/redis/go-redis/v9 v9.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.2.0 // indirect
	github.com/dgryski/go-rendezvous v0.0.0-20200823014737-9f7001d12a5f // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
)

replace github.com/f0rmiga/sessiongate/clients/go => ../
