// Package configs reads the configuration of Tallystick and says everything that is wrong with it at once.
//
// It promises one road: [Default], then the file, then the environment, then [Config.Validate].
// [Load] walks it and returns either a configuration that a process can run on, or an [InvalidError]: one line
// for each fault, naming the file and line (or the variable) and the key.
//
// It refuses what a careless hand would regret: a key it does not know (and names the nearest one it
// does), the same key twice, anchors and aliases, several documents in a file, a variable of ours with
// an unknown name, a value of the wrong type, and every setting whose absence would switch off a
// protection: an empty issuer, plain http on a host that is not this machine, a missing encryption key
// or one of the wrong length, no product at all.
//
// Only cmd imports it: each room has a Config of its own, and wire.go translates. It imports nothing
// of ours but keys/secret, and storage/money for the currencies that there are.
//
// # Names
//
// A key is the path in the file: mysql.max_open_conns. Its variable is the path in capitals, dots and
// hyphens as underscores, after TALLYSTICK_: TALLYSTICK_MYSQL_MAX_OPEN_CONNS. Lists are separated by
// commas there. A secret KEY has a sibling KEY_file that names a file with the secret in it, which loses
// one trailing newline; setting both is a fault. A relative path is taken from the folder of the
// configuration file. Durations are those of Go, and whole days: 15m, 1h30m, 7d.
//
// Three sections have names that the operator chooses: products.NAME, password.hmac_keys.ID and wechat.apps.NAME; in two
// more, wallet.limits.CUR and wallet.exponents.CUR, they are currencies. Their variables work too: TALLYSTICK_PRODUCTS_SHOP_TERMINALS_MOBILE_MODE sets the terminal of the product
// in the file whose name reads SHOP in capitals, or else makes a product shop.
//
// Variables that container platforms invent for a service called tallystick (TALLYSTICK_PORT,
// TALLYSTICK_SERVICE_HOST, …) and those of the tests (TALLYSTICK_TEST_…) are passed over.
//
// # Design notes
//
// One table. [Config.keys] lists every key once, with the field it fills and how its text is read. The
// check for unknown keys, the names of the variables, the decoding and the test of the example file all
// walk that table, so there is no second list to drift from. Decoding into tagged structs by reflection
// was the alternative; its errors speak of Go fields and types, and its notion of the environment
// splits max_open_conns at the underscores.
//
// YAML nodes, no configuration library. What such a library adds to a YAML parser is merging of layers
// and decoding into structs; here the layers are two maps from path to text, and the table decodes. In
// exchange the nodes give every fault its line, a duplicate key both of its lines, and values reach
// their fields as they were written: 0123 as a secret is not an octal number.
//
// Secrets are [secret.Text] from the moment they are read, and no fault quotes the value of a secret.
package configs
