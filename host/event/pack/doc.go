// Package pack encodes the plain successes of one handler as blocks: up to 512 outcomes
// in ascending order of Seq, in columns. A success takes 5 to 10 bytes beside its result,
// and equal results are stored once.
//
// A block is
//
//	version   1 byte, 1
//	count     uvarint, 1 to MaxOutcomes
//	first     uvarint, the Seq of the first outcome
//	extent    uvarint, the Seq of the last outcome less first
//	columns   uvarint, their number
//	          for each: uvarint id, ascending; uvarint length in bytes
//	contents  of the columns, in the same order
//	checksum  4 bytes, little endian: CRC-32C of all before
//
// A column of numbers has a varint for each outcome and ends with the last one that is
// not 0, so a column of equal numbers has one varint, and an absent column is all 0.
//
//	1 gaps       from the Seq before, less 1; the first outcome has none
//	2 times      zigzag difference from the time before, in unix nanoseconds
//	3 durations  zigzag difference from the duration before, in nanoseconds
//	4 fuel       zigzag difference from the fuel before, modulo 2^64
//	5 modules    the digests, and the runs of outcomes that have each; see modules.go
//	6 choices    0: the result of the outcome before; 1: the next new one of column 7;
//	             n: the one with the index n-2
//	7 results    distinct results, in chunks of about 16 KiB that are compressed with S2
//	             when that makes them an eighth smaller; see results.go
//
// A reader ignores columns that it does not know, so that a later version can add some.
// Block.Extended reports them: a program that wrote such a block again would lose them,
// so it leaves the block as it is.
//
// Reading checks everything that it uses: damaged bytes are ErrDamaged, never a panic or
// an allocation of more than MaxResults and one chunk. The package keeps no state; a
// Block is safe for concurrent use, an Encoder is not.
//
// Read outcome.go first, then encoder.go and block.go.
package pack
