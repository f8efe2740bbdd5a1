// A small Go Master: executes the blocks of one metanode and keeps what it executed in two files. It is written against
// the specification alone and shares no line with the Rust side, so an error that both Rust halves share shows here.
//
// Like deployed ones it keeps the start of an epoch in whole seconds and writes keys as they were registered.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"interop/wire"
)

// Config is Go's side of the configuration: the socket names mirror those of the node.
type Config struct {
	BlockStreamPath    string                `json:"rust_go_receive_socket_path"`
	RPCPath            string                `json:"rust_go_send_socket_path"`
	DataDir            string                `json:"data_dir"`
	GenesisTimestampMs uint64                `json:"genesis_timestamp_ms"`
	Validators         []*wire.ValidatorInfo `json:"validators"`
	// Blocks between two syncs.
	FlushEveryBlocks uint64 `json:"flush_every_blocks"`
}

// Master is what both sockets share.
type Master struct {
	config Config
	mutex  sync.Mutex
	chain  *Chain
}

func main() {
	log.SetFlags(log.Lmicroseconds)
	if len(os.Args) != 2 {
		log.Fatal("expected one argument: a configuration in JSON")
	}
	text, err := os.ReadFile(os.Args[1])
	check(err)
	var config Config
	check(json.Unmarshal(text, &config))
	check(os.MkdirAll(config.DataDir, 0o755))
	chain, err := OpenChain(config.DataDir)
	check(err)
	log.Printf("[STARTUP] finds block gei=%d", chain.Durable())
	master := &Master{config: config, chain: chain}

	stream := listen(config.BlockStreamPath)
	rpc := listen(config.RPCPath)
	go serve(stream, master.readBlocks)
	go serve(rpc, master.answerRequests)

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	master.mutex.Lock()
	check(chain.Flush())
	check(stream.Close())
	check(rpc.Close())
	log.Print("[STARTUP]: stops")
}

// listen binds a Unix socket. A file that a killed process left behind is removed.
func listen(path string) net.Listener {
	if connection, err := net.Dial("unix", path); err == nil {
		connection.Close()
		log.Fatalf("%s: a live process listens here", path)
	}
	os.Remove(path)
	listener, err := net.Listen("unix", path)
	check(err)
	check(os.Chmod(path, 0o660))
	return listener
}

func serve(listener net.Listener, exchange func(net.Conn) error) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			if err := exchange(connection); err != nil {
				log.Printf("closes a connection of %s: %v", listener.Addr(), err)
			}
		}()
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(fmt.Errorf("ends: %w", err))
	}
}
