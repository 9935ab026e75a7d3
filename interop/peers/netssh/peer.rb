# The Ruby library net-ssh as a client with forwards. The library does the relaying; it has no server.

require 'net/ssh'

values = {}
forwards = []
ARGV.drop(1).each_slice(2) do |flag, value|
  %w[-L -R].include?(flag) ? forwards << [flag, value.split(':')] : values[flag] = value
end

session = Net::SSH.start(
  '127.0.0.1', values['--user'],
  port: Integer(values['--port']),
  keys: [values['--key']], keys_only: true, config: false, use_agent: false, non_interactive: true,
  auth_methods: ['publickey'],
  user_known_hosts_file: values['--known-hosts'], global_known_hosts_file: [], verify_host_key: :always
)
forwards.each do |flag, (listen, listen_port, host, port)|
  if flag == '-L'
    session.forward.local(listen, Integer(listen_port), host, Integer(port))
  else
    session.forward.remote(Integer(port), host, Integer(listen_port), listen)
  end
end
session.loop(0.1) { session.forward.active_remotes.length < forwards.count { |flag, _| flag == '-R' } }
puts 'ready'
$stdout.flush
session.loop { true }
