// Package testbed gives tests real servers and real faults: MariaDB and Redis on free loopback
// ports with temporary data folders, and a TCP proxy that breaks connections on demand.
//
// [MariaDB] and [Redis] hand out private parts of a server that all tests of a run share.
// [StartMariaDB] and [StartRedis] start servers that belong to one test, which may
// kill, pause and restart them. [StartProxy] puts a faulty network in front of any of them.
// Behind the build tag long, [StartGalera] and [StartSentinel] start a cluster and a Redis with successors.
//
// A test process starts a shared server when the first test asks for it. Under [Launch], which
// cmd/testbed wraps around "go test ./...", all test processes share the servers that it started.
// The same two environment variables point tests at servers of other makes, such as MySQL 8.
//
// No server outlives the process that started it, however that ends: the kernel kills the servers
// with their parent, and a watcher then removes the data folders. This makes the package one for Linux.
//
// Functions that take a testing.TB end the test on a failure, so they are called from the test's
// own goroutine, as testing.TB.FailNow asks. A missing server is a failure too, never a skip.
package testbed
