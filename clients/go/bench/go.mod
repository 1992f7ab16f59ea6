module github.com/f0rmiga/sessiongate/clients/go/bench

go 1.23

require (
	github.com/boj/redistore v1.4.1
	github.com/f0rmiga/sessiongate/clients/go v0.0.0
	github.com/f0rmiga/sessiongate/clients/go/gorilla v0.0.0
	github.com/gomodule/redigo v1.9.2
	github.com/gorilla/sessions v1.4.0
	github.com/redis/go-redis/v9 v9.17.3
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dgryski/go-rendezvous v0.0.0-20200823014737-9f7001d12a5f // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
)

replace (
	github.com/f0rmiga/sessiongate/clients/go => ../
	github.com/f0rmiga/sessiongate/clients/go/gorilla => ../gorilla
)
