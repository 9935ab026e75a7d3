// The npm library ssh2 as a server that forwards everything, or as a client with forwards. With --close-alone it ends a
// channel by close(), which sends CLOSE and no EOF.
'use strict';

const fs = require('fs');
const net = require('net');
const { Client, Server, utils } = require('ssh2');

const args = parse(process.argv.slice(3));
if (process.argv[2] === 'server') serve();
else connect();

function parse(words) {
  const parsed = { local: [], remote: [], closeAlone: false };
  while (words.length > 0) {
    const flag = words.shift();
    if (flag === '--close-alone') parsed.closeAlone = true;
    else if (flag === '-L') parsed.local.push(split(words.shift()));
    else if (flag === '-R') parsed.remote.push(split(words.shift()));
    else parsed[flag.slice(2)] = words.shift();
  }
  return parsed;
}

// `ip:port:ip:port` or `ip:port:/path`, IPv4 only.
function split(spec) {
  const [host, port, ...target] = spec.split(':');
  return { host, port: Number(port), target: address(target) };
}

function address([host, port]) {
  return port === undefined ? { path: host } : { host, port: Number(port) };
}

// Copies both ways; each direction ends by itself, unless a channel is to be closed alone.
function relay(channel, socket) {
  socket.on('data', (bytes) => {
    if (channel.write(bytes)) return;
    socket.pause();
    channel.once('drain', () => socket.resume());
  });
  socket.on('end', () => {
    // An empty write is done when everything before it is. end() would close a server's channel after the EOF.
    channel.write('', () => (args.closeAlone ? channel.close() : channel.eof()));
  });
  socket.on('error', (error) => console.error('socket:', error.message));
  channel.on('error', (error) => console.error('channel:', error.message));
  channel.pipe(socket);
}

function dial(target, opened, failed) {
  const socket = net.connect({ ...target, allowHalfOpen: true, noDelay: true });
  const refused = (error) => failed(error);
  socket.once('error', refused);
  socket.once('connect', () => {
    socket.off('error', refused);
    opened(socket);
  });
}

function listen(host, port, accepted, up) {
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, accepted);
  listener.once('error', (error) => up(error));
  listener.listen(port, host, () => up(null));
  return listener;
}

// ---- server ----

function serve() {
  const authorized = utils.parseKey(fs.readFileSync(args['authorized-keys']));
  const server = new Server({ hostKeys: [fs.readFileSync(args['host-key'])] }, (client) => {
    client.on('error', (error) => console.error('connection:', error.message));
    client.on('authentication', (context) => {
      const known = context.method === 'publickey' && context.key.data.equals(authorized.getPublicSSH());
      const proven = known && (!context.signature
        || authorized.verify(context.blob, context.signature, context.hashAlgo) === true);
      if (proven) context.accept();
      else context.reject(['publickey']);
    });
    client.on('tcpip', (accept, reject, info) => {
      dial({ host: info.destIP, port: info.destPort }, (socket) => relay(accept(), socket), () => reject());
    });
    client.on('request', (accept, reject, name, info) => {
      if (name !== 'tcpip-forward') return reject && reject();
      const { bindAddr, bindPort } = info;
      const listener = listen(bindAddr, bindPort, (socket) => {
        client.forwardOut(bindAddr, bindPort, socket.remoteAddress, socket.remotePort, (error, channel) => {
          if (error) socket.destroy();
          else relay(channel, socket);
        });
      }, (error) => (error ? reject() : accept()));
      client.on('close', () => listener.close());
    });
  });
  server.listen(Number(args.port), '127.0.0.1');
}

// ---- client ----

function connect() {
  const client = new Client();
  const fail = (error) => {
    console.error('ssh2 peer:', error.message);
    process.exit(1);
  };
  const opened = (socket) => (error, channel) => {
    if (!error) return relay(channel, socket);
    console.error('open:', error.message);
    return socket.destroy();
  };
  client.on('error', fail).on('close', () => fail(new Error('the connection is closed')));
  client.on('tcp connection', (details, accept, reject) => {
    const { target } = args.remote.find(({ port }) => port === details.destPort);
    dial(target, (socket) => relay(accept(), socket), () => reject());
  });
  client.on('ready', () => {
    let missing = args.local.length + args.remote.length;
    const up = (error) => {
      if (error) fail(error);
      missing -= 1;
      if (missing === 0) console.log('ready');
    };
    for (const { host, port, target } of args.local) {
      listen(host, port, (socket) => {
        if (target.path) client.openssh_forwardOutStreamLocal(target.path, opened(socket));
        else client.forwardOut('127.0.0.1', socket.remotePort, target.host, target.port, opened(socket));
      }, up);
    }
    for (const { host, port } of args.remote) client.forwardIn(host, port, up);
  });
  const knownHosts = fs.readFileSync(args['known-hosts'], 'utf8');
  client.connect({
    host: '127.0.0.1',
    port: Number(args.port),
    username: args.user,
    privateKey: fs.readFileSync(args.key),
    // Unix sockets of servers that are not OpenSSH, too.
    strictVendor: false,
    hostVerifier: (key) => knownHosts.includes(key.toString('base64')),
  });
}
