module clawnet.example/testee

go 1.26
