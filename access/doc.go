// Package access knows who may come in: the configuration's admin key and the stored keys, all in memory, so that letting
// somebody in reads nothing and writes nothing.
package access
