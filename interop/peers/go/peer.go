// golang.org/x/crypto/ssh as a server that forwards everything, or as a client with forwards. With --close-alone it ends
// a channel as most Go programs do: by Close, which sends CLOSE and no EOF.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// halves is a connection whose directions end one by one: a channel, a TCP or a unix socket.
type halves interface {
	io.ReadWriteCloser
	CloseWrite() error
}

type forward struct{ listen, target string }

type arguments struct {
	values        map[string]string
	local, remote []forward
	closeAlone    bool
}

func main() {
	args := parse(os.Args[2:])
	if os.Args[1] == "server" {
		serve(args)
	} else {
		connect(args)
	}
}

func parse(words []string) (args arguments) {
	args.values = map[string]string{}
	for len(words) > 0 {
		if words[0] == "--close-alone" {
			args.closeAlone = true
			words = words[1:]
			continue
		}
		flag, value := words[0], words[1]
		words = words[2:]
		switch flag {
		case "-L":
			args.local = append(args.local, split(value))
		case "-R":
			args.remote = append(args.remote, split(value))
		default:
			args.values[flag] = value
		}
	}
	return args
}

// split takes `ip:port:ip:port` or `ip:port:/path`, IPv4 only, apart.
func split(spec string) forward {
	fields := strings.SplitN(spec, ":", 3)
	return forward{fields[0] + ":" + fields[1], fields[2]}
}

func network(address string) string {
	if strings.HasPrefix(address, "/") {
		return "unix"
	}
	return "tcp"
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go peer:", err)
		os.Exit(1)
	}
	return value
}

// relay copies both ways; each direction ends by itself, unless a channel is to be closed alone.
func (args arguments) relay(channel, socket halves) {
	inward := make(chan struct{})
	go func() {
		io.Copy(socket, channel)
		socket.CloseWrite()
		close(inward)
	}()
	io.Copy(channel, socket)
	if args.closeAlone {
		channel.Close()
	} else {
		channel.CloseWrite()
	}
	<-inward
	channel.Close()
	socket.Close()
}

// ---- server ----

func serve(args arguments) {
	authorized, _, _, _, err := ssh.ParseAuthorizedKey(must(os.ReadFile(args.values["--authorized-keys"])))
	must(authorized, err)
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(key.Marshal(), authorized.Marshal()) {
				return nil, nil
			}
			return nil, fmt.Errorf("a stranger's key")
		},
	}
	config.AddHostKey(must(ssh.ParsePrivateKey(must(os.ReadFile(args.values["--host-key"])))))
	listener := must(net.Listen("tcp", "127.0.0.1:"+args.values["--port"]))
	for {
		socket := must(listener.Accept())
		go func() {
			conn, channels, requests, err := ssh.NewServerConn(socket, config)
			if err != nil {
				fmt.Fprintln(os.Stderr, "connection:", err)
				return
			}
			go args.answerRequests(conn, requests)
			for open := range channels {
				go args.answerOpen(open)
			}
		}()
	}
}

func (args arguments) answerOpen(open ssh.NewChannel) {
	if open.ChannelType() != "direct-tcpip" {
		open.Reject(ssh.UnknownChannelType, "only direct-tcpip")
		return
	}
	var target struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(open.ExtraData(), &target); err != nil {
		open.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	socket, err := net.Dial("tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
	if err != nil {
		open.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := open.Accept()
	if err != nil {
		socket.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	args.relay(channel, socket.(halves))
}

func (args arguments) answerRequests(conn *ssh.ServerConn, requests <-chan *ssh.Request) {
	for request := range requests {
		var wanted struct {
			Host string
			Port uint32
		}
		if request.Type != "tcpip-forward" || ssh.Unmarshal(request.Payload, &wanted) != nil {
			request.Reply(false, nil)
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(wanted.Host, strconv.Itoa(int(wanted.Port))))
		request.Reply(err == nil, nil)
		if err == nil {
			go func() { conn.Wait(); listener.Close() }()
			go args.acceptRemote(conn, listener, wanted.Host, wanted.Port)
		}
	}
}

func (args arguments) acceptRemote(conn *ssh.ServerConn, listener net.Listener, host string, port uint32) {
	for {
		socket, err := listener.Accept()
		if err != nil {
			return
		}
		origin := socket.RemoteAddr().(*net.TCPAddr)
		extra := ssh.Marshal(struct {
			Host       string
			Port       uint32
			Origin     string
			OriginPort uint32
		}{host, port, origin.IP.String(), uint32(origin.Port)})
		go func() {
			channel, requests, err := conn.OpenChannel("forwarded-tcpip", extra)
			if err != nil {
				socket.Close()
				return
			}
			go ssh.DiscardRequests(requests)
			args.relay(channel, socket.(halves))
		}()
	}
}

// ---- client ----

func connect(args arguments) {
	client := must(ssh.Dial("tcp", "127.0.0.1:"+args.values["--port"], &ssh.ClientConfig{
		User:              args.values["--user"],
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(must(ssh.ParsePrivateKey(must(os.ReadFile(args.values["--key"])))))},
		HostKeyCallback:   must(knownhosts.New(args.values["--known-hosts"])),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}))
	for _, one := range args.local {
		target := one.target
		listener := must(net.Listen("tcp", one.listen))
		go args.pair(listener, true, func() (net.Conn, error) { return client.Dial(network(target), target) })
	}
	for _, one := range args.remote {
		target := one.target
		listener := must(client.Listen("tcp", one.listen))
		go args.pair(listener, false, func() (net.Conn, error) { return net.Dial(network(target), target) })
	}
	fmt.Println("ready")
	must(0, client.Wait())
}

// pair joins what a listener accepts with what dial brings; one of the two is a channel.
func (args arguments) pair(listener net.Listener, channelIsDialed bool, dial func() (net.Conn, error)) {
	for {
		accepted, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			dialed, err := dial()
			if err != nil {
				fmt.Fprintln(os.Stderr, "dial:", err)
				accepted.Close()
				return
			}
			if channelIsDialed {
				args.relay(dialed.(halves), accepted.(halves))
			} else {
				args.relay(accepted.(halves), dialed.(halves))
			}
		}()
	}
}
