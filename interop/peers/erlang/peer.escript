#!/usr/bin/env escript
%% Erlang's ssh as a server that forwards everything, or as a client with forwards; Erlang does the relaying. It finds
%% its keys by the names that OpenSSH gives them, so they are copied into directories of their own.

main([Role | Words]) ->
    {ok, _} = application:ensure_all_started(ssh),
    Args = parse(Words, []),
    case Role of
        "server" -> serve(Args);
        "client" -> connect(Args)
    end.

parse([], Args) -> Args;
parse([Flag, Value | Words], Args) -> parse(Words, [{Flag, Value} | Args]).

value(Flag, Args) -> proplists:get_value(Flag, Args).

port(Args) -> list_to_integer(value("--port", Args)).

%% A directory with copies of files under the names that Erlang looks for.
directory(Beside, Name, Files) ->
    Directory = Beside ++ "." ++ Name,
    ok = filelib:ensure_dir(Directory ++ "/x"),
    [{ok, _} = file:copy(From, Directory ++ "/" ++ To) || {From, To} <- Files],
    Directory.

serve(Args) ->
    Host = value("--host-key", Args),
    Keys = directory(Host, "erlang", [{Host, "ssh_host_ed25519_key"}]),
    Authorized = directory(Host, "erlang-users", [{value("--authorized-keys", Args), "authorized_keys"}]),
    {ok, _} = ssh:daemon({127, 0, 0, 1}, port(Args), [
        {system_dir, Keys},
        {user_dir, Authorized},
        {auth_methods, "publickey"},
        {tcpip_tunnel_in, true},
        {tcpip_tunnel_out, true}
    ]),
    receive never -> ok end.

connect(Args) ->
    Key = value("--key", Args),
    Directory = directory(Key, "erlang", [{Key, "id_ed25519"}, {value("--known-hosts", Args), "known_hosts"}]),
    {ok, Connection} = ssh:connect("127.0.0.1", port(Args), [
        {user, value("--user", Args)},
        {user_dir, Directory},
        {auth_methods, "publickey"},
        {silently_accept_hosts, false},
        {user_interaction, false}
    ]),
    [{ok, _} = tunnel(Connection, Flag, string:split(Spec, ":", all)) || {Flag, Spec} <- Args, Flag =:= "-L" orelse Flag =:= "-R"],
    io:format("ready~n"),
    Watch = monitor(process, Connection),
    receive {'DOWN', Watch, process, _, _} -> halt(1) end.

tunnel(Connection, Flag, [Listen, ListenPort, Host, Port]) ->
    {ok, Address} = inet:parse_address(Listen),
    case Flag of
        "-L" -> ssh:tcpip_tunnel_to_server(Connection, Address, list_to_integer(ListenPort), Host, list_to_integer(Port));
        "-R" -> ssh:tcpip_tunnel_from_server(Connection, Listen, list_to_integer(ListenPort), Host, list_to_integer(Port))
    end.
