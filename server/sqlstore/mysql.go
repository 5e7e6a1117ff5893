package sqlstore

import (
	"errors"

	"github.com/go-sql-driver/mysql"
)

func openMySQL(*Store, Config, *mysql.Config) error { return errors.New("not yet") }
