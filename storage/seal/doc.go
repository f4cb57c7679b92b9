// Package seal is the format of the sealed chain of journals: which bytes are hashed, and how.
//
// It promises that the same journals give the same hashes for good, so that an auditor can recompute them with
// other tools from an export, and that any change of a sealed journal, of its entries, of their order or of
// a block gives another hash. It reads no clock and no store. The store calls it to seal, the books to prove.
//
// # Format, version 1
//
// A text is a length of four bytes, most significant first, and so many bytes. A field is two texts, its
// name and its value. A field whose value is empty is left out, so that a column that is added later, and
// empty in what is old, changes no hash. Numbers are decimal without leading zeros, times are microseconds
// since 1970 in UTC as such a number.
//
// The leaf of a journal is the SHA-256 sum of the text "tallystick journal v1" and these fields in this order:
//
//	id kind from to amount currency memo reference original client actor session created_at
//
// and then, for each of its entries by account and sequence, a field "entry" whose value is the fields
//
//	account sequence kind amount currency balance_after counterparty memo created_at
//
// A journal that was no longer in the books when its turn came has its id alone.
// amount is in minor units, below zero in an entry for money out; from, to, actor and counterparty are sub values.
//
// The hash of a block is the SHA-256 sum of the text "tallystick block v1" and these fields in this order:
//
//	number previous first journals sealed_at
//
// (previous is the 32 bytes of the hash of the block before, zeros for the first; first is the number of the
// block's first journal, and journals how many it has) and then, for each of its journals in order, a field
// "journal" whose value is the fields
//
//	id leaf after_sequence after_fence
//
// leaf is 32 bytes. The last two say where the account of the payer stood just after the journal, as
// [storage.Standing] explains; both are left out where that was not recorded.
//
// # Design notes
//
// Leaves are kept, although they can be computed. If a hash of a block is wrong, somebody wants to know
// which of its thousand journals was changed, and without them there is no telling.
//
// The chain is a list and not a tree. Proofs that one journal is in it without showing the others were not
// asked for, and a list is recomputed with a dozen lines in any language.
//
// A chain proves nothing against somebody who rewrites it to its end. That takes a copy of its head that they cannot
// reach: `tallystick ledger head` prints it, the sealer logs it, and `ledger verify --expect-head` holds
// the chain to it.
//
// JSON was rejected: two programs that write the same object as different bytes are both right.
package seal
